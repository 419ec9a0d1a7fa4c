/**
 * The lines of a stream, none of them held when it is longer than the limit: of such a line only that it was there is told. Lines end with a
 * line feed and nothing else, as JSON lines do. Bytes that are no UTF-8 become U+FFFD.
 */
export type InputLine = { text: string } | 'too_large';

const LINE_FEED = 10;

export async function* inputLines(input: AsyncIterable<Buffer>, mostBytes: number): AsyncGenerator<InputLine> {
  let pieces: Buffer[] = [];
  let size = 0;
  const hold = (piece: Buffer): void => {
    size += piece.length;
    // A line that became too long is only counted from here on.
    if (size > mostBytes) pieces = [];
    else if (piece.length > 0) pieces.push(piece);
  };
  const line = (): InputLine => {
    const ended: InputLine = size > mostBytes ? 'too_large' : { text: Buffer.concat(pieces).toString('utf8') };
    pieces = [];
    size = 0;
    return ended;
  };
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      hold(chunk.subarray(start, end));
      yield line();
      start = end + 1;
    }
    hold(chunk.subarray(start));
  }
  if (size > 0) yield line();
}
