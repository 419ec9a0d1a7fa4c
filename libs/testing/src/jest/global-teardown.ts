import { rm } from 'node:fs/promises';
import { endBackstageInstallation } from './backstage-installation.js';

export default async function globalTeardown(): Promise<void> {
  endBackstageInstallation();
  const keys = process.env['CALLBOARD_TEST_KEYS'];
  if (keys) await rm(keys, { recursive: true, force: true });
}
