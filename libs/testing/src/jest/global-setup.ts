import { resolveNatsServer } from '@callboard/nats-server';

/** Finds or fetches nats-server once, before any test; test workers and what they start inherit the answer. */
export default async function globalSetup(): Promise<void> {
  const { path, version, from } = await resolveNatsServer({
    onProgress: (message) => process.stderr.write(`${message}\n`),
  });
  process.env['CALLBOARD_NATS_SERVER'] = path;
  process.stderr.write(`nats-server ${version} (${from}): ${path}\n`);
}
