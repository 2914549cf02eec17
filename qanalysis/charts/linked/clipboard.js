// How does text reach the clipboard, also from a page over plain http, which may not use the browser's newer way?

// Whether it did. `holder` is an element of the page that a box of text may stand in for a moment.
export const putOnClipboard = async (text, holder) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = holder.getRootNode().activeElement;
    const box = document.createElement("textarea");
    box.value = text;
    holder.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    before?.focus();
    return done;
  }
};
