"""The pull of bills from the admin APIs of OpenAI, Anthropic and OpenRouter: it lands their pages unchanged.

What a page means belongs to the sources of `bills/`; retrying a whole pull to `orchestration/`.
"""
