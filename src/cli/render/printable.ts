/** Text that came from elsewhere loses its control characters before it meets a terminal; tab and newline stay. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}
