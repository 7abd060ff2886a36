"""The parts that all web servers of this project share: access control, login, host names and the socket.

No page is rendered here and no number computed: that belongs to `dashboard/` and `orchestration/web_ui/`.
"""
