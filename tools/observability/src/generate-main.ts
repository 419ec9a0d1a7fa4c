/** Writes the files of deploy/observability. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { observabilityFiles } from './files.js';

for (const [path, text] of observabilityFiles()) {
  const file = fileURLToPath(new URL(`../../../${path}`, import.meta.url));
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  console.log(path);
}
