/** What the owners of a partition hand on to each other. */
export interface Floor {
  /** When the stream was made: one that was made anew counts from the beginning. */
  stream: string;
  /** Every command of the partition up to here has its outcome. */
  floor: number;
  /** Up to here, the first unfinished command of each key may have been begun by an owner that did not finish it. */
  may_have_begun_up_to: number;
}

/** The floor of the present stream, if it has one. */
export function readFloor(kept: Uint8Array | undefined, stream: string): Floor | undefined {
  if (!kept) return undefined;
  try {
    const record = JSON.parse(Buffer.from(kept).toString()) as Floor;
    return record.stream === stream ? record : undefined;
  } catch {
    // Somebody else's: as if all had to be read again.
    return { stream, floor: 0, may_have_begun_up_to: 0 };
  }
}

/** Key of a partition's floor in the bucket of the leases. */
export function floorKey(partition: number): string {
  return `floor.${partition}`;
}
