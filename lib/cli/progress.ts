/**
 * A bar on stderr, on a terminal only: `bar(done, total)` redraws it, `bar.end()` clears it. Piped
 * or logged output never sees it.
 */
export function progressBar(title: string): { (done: number, total: number): void; end(): void } {
  const stream = process.stderr;
  let shown = '';
  const bar = (done: number, total: number) => {
    if (!stream.isTTY) return;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(share * 24);
    const line = `${title} ${'━'.repeat(filled)}${'╌'.repeat(24 - filled)} ${Math.floor(share * 100)} %`;
    if (line === shown) return;
    shown = line;
    stream.write(`\r\x1b[K${line}`);
  };
  bar.end = () => {
    if (shown !== '') stream.write('\r\x1b[K');
    shown = '';
  };
  return bar;
}
