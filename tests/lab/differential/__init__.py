"""Random policies and requests: do the real proxies and the offline verdicts agree?"""
