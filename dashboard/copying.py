"""Texts with a button that copies them.

`st.code` is not used, because it loads a syntax highlighter of 1.6 MB, which keeps a browser busy for a
quarter of a second.
"""

from html import escape

import streamlit as st

# For the head of the page, once.
HEAD = """<style>
.copyable { display: flex; gap: .75rem; align-items: baseline; margin-bottom: .5rem; }
.copyable code {
  flex: 1; padding: .5rem .75rem; border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere;
  color: inherit; background: color-mix(in srgb, currentColor 8%, transparent);
}
.copyable button {
  padding: .4rem .75rem; border-radius: .5rem;
  border: 1px solid color-mix(in srgb, currentColor 30%, transparent);
  color: inherit; background: transparent; font: inherit; cursor: pointer;
}
</style>
<script data-of="copying">
window.copies ||= document.addEventListener('click', async (event) => {
  const button = event.target.closest('.copyable button');
  if (!button) return;
  const code = button.parentElement.querySelector('code');
  getSelection().selectAllChildren(code);
  // Browsers deny the clipboard to pages over plain HTTP from other machines.
  // There the text is at least selected.
  if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
  else if (!document.execCommand('copy')) return;
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}) ?? true;
</script>"""


def copyable(text: str, what: str) -> None:
    """Draw a text and a button that copies it. `what` names the text for screen readers."""
    # On one line, because Streamlit removes the indentation of others.
    shown = escape(text).replace("\n", "&#10;")
    button = f'<button type="button" aria-label="Copy {escape(what)}">Copy</button>'
    st.html(f'<div class="copyable"><code>{shown}</code>{button}</div>')
