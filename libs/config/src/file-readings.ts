/**
 * Which files govern this process, and what became of each time that one was read: told to whoever keeps the records, who may come later than
 * the files.
 */
export interface FileReading {
  /** Path, as it was configured. */
  file: string;
  /** `read`: in force when its follower came. `reloaded`: in force now. `refused`: cannot be used; what was in force before stays. */
  what: 'read' | 'reloaded' | 'refused';
  /** SHA-256 of the content, in hexadecimal digits; absent when it could not be read. */
  digest?: string;
}

const followed = new Map<object, FileReading>();
let listener: ((reading: FileReading) => void) | undefined;

/** Hears of every file that is followed now, and of all readings from now on. There is one listener; the last counts. */
export function onFileReading(listen: (reading: FileReading) => void): void {
  listener = listen;
  for (const reading of followed.values()) listen(reading);
}

/** @param follower what follows the file, until it says so by `forgetFile` */
export function tellFileReading(follower: object, { file, what, digest }: FileReading): void {
  const reading: FileReading = { file, what, ...(digest !== undefined && { digest }) };
  if (what !== 'refused') followed.set(follower, { ...reading, what: 'read' });
  listener?.(reading);
}

export function forgetFile(follower: object): void {
  followed.delete(follower);
}
