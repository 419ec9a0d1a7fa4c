import { rename, writeFile } from 'node:fs/promises';

/** Writes a file that only its owner may read, whole or not at all. */
export async function writeSecret(file: string, content: string | Uint8Array): Promise<void> {
  const half = `${file}.${process.pid}.tmp`;
  await writeFile(half, content, { mode: 0o600 });
  await rename(half, file);
}
