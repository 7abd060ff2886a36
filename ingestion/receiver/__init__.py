"""Webhooks of Paywalls.ai as they are delivered: checked, put into the landing area for good, and only then
acknowledged.
"""
