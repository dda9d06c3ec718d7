"""Exchangeability: do members and controls differ by what is visible without the model?"""
