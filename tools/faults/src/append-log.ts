/** The log of `demo.append`, whose lines are its side effects. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The values that were appended, with their keys and commands, in the order of the file; none when it never ran. */
export async function readAppended(dataDir: string): Promise<{ key: string; value: number; correlationId: string }[]> {
  const text = await readFile(join(dataDir, 'demo', 'append.log'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { key, value, correlation_id } = JSON.parse(line) as { key: string; value: number; correlation_id: string };
      return { key, value: Number(value), correlationId: correlation_id };
    });
}
