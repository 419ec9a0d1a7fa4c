/** The first items whose JSON has so many bytes together, at most; one at least, where there is one. */
export function fitting<T>(items: T[], mostBytes: number): T[] {
  let bytes = 0;
  const count = items.findIndex((item) => (bytes += Buffer.byteLength(JSON.stringify(item)) + 1) > mostBytes);
  return count < 0 ? items : items.slice(0, Math.max(1, count));
}
