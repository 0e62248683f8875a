"""Many runs: what there is (`summaries`), which of them (`choosing`), and how they differ (`comparing`, `page`)."""
