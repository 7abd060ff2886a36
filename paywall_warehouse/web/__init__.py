"""What servers of this project share: whom they answer, and how they listen. No page and no number is made
here.
"""
