"""`simulacra perception study`: people say which of two renders is more like a photograph.

pairs           which renders are put side by side, in an order of each person's own
answers         what people said, one JSON object a line
strengths       how often each run would win (Bradley and Terry), with intervals
agreement       how well metrics say the same (Kendall)
results         all of that, printed
app             the page's server
"""
