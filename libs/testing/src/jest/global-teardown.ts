import { rm } from 'node:fs/promises';

export default async function globalTeardown(): Promise<void> {
  const keys = process.env['CALLBOARD_TEST_KEYS'];
  if (keys) await rm(keys, { recursive: true, force: true });
}
