/** Data on stdout, for a program. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

/** Data on stdout, for a person: columns as wide as they need to be. */
export function printTable(head: string[], rows: string[][]): void {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [head, ...rows]) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    );
  }
}
