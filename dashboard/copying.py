"""Texts with a button that copies them.

Not `st.code`: it brings 1.6 MB of a highlighter of programs with it, which keeps a browser busy for a quarter
of a second.
"""

from html import escape

import streamlit as st

# Once a page.
HEAD = """<style>
.copyable { display: flex; gap: .75rem; align-items: baseline; margin-bottom: .5rem; }
.copyable code {
  flex: 1; padding: .5rem .75rem; border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere;
  color: inherit; background: color-mix(in srgb, currentColor 8%, transparent);
}
.copyable button {
  padding: .4rem .75rem; border: 1px solid color-mix(in srgb, currentColor 30%,
      transparent); border-radius: .5rem;
  color: inherit; background: transparent; font: inherit; cursor: pointer;
}
</style>
<script data-of="copying">
window.copies ||= document.addEventListener('click', async (event) => {
  const button = event.target.closest('.copyable button');
  if (!button) return;
  const code = button.parentElement.querySelector('code');
  getSelection().selectAllChildren(code);
  // Browsers keep their clipboard
      from pages of plain HTTP that are not of this machine: there the text is at least selected.
  if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
  else if (!document.execCommand('copy')) return;
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}) ?? true;
</script>"""


def copyable(text: str, what: str) -> None:
    """A text as it is, and a button to copy it; `what` says of what it is the button, for those who only hear
    it.
    """
    # One line: Streamlit takes blanks out of others.
    shown = escape(text).replace("\n", "&#10;")
    button = f'<button type="button" aria-label="Copy {escape(what)}">Copy</button>'
    st.html(f'<div class="copyable"><code>{shown}</code>{button}</div>')
