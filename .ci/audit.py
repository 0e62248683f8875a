"""The locked versions against published vulnerabilities: fails on one that is known, says what could not be asked.

    python .ci/audit.py LOCK...

pip-audit says "no known vulnerabilities" too where its service knew none of the packages, as behind a mirror that does
not answer for them. So its list is counted here: asked, not answered for, vulnerable.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def audit(lock: str) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(Path(lock).read_text().replace("===", "=="))  # of which it reads the second only
        file.flush()
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--disable-pip",
            "--require-hashes",
            "-f",
            "json",
            "-r",
            file.name,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"{lock}: not audited: {(done.stderr.strip() or 'no answer').splitlines()[-1][:200]}")
        return 0
    asked = [one for one in packages if "skip_reason" not in one]
    for one in asked:
        for known in one["vulns"]:
            print(f"{lock}: {one['name']} {one['version']}: {known['id']}, mended in {known['fix_versions']}")
    if not asked:
        print(
            f"{lock}: not audited: no vulnerability service answered for any of its {len(packages)} packages"
        )
    else:
        print(f"{lock}: {len(asked)} audited, {len(packages) - len(asked)} not answered for")
    return int(any(one["vulns"] for one in asked))


if __name__ == "__main__":
    sys.exit(max(map(audit, sys.argv[1:])))
