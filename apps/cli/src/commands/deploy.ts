/** `callboard deploy prepare`: the keys of an installation on Kubernetes, as Secrets to apply, and the values of the chart that go with them. */
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { declareTopology } from '@callboard/jetstream';
import { writeExternalConfig, writeSecret } from '@callboard/nats-server';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { pathsOf } from '../data-dir.js';
import { Failure } from '../failure.js';
import { printJson } from '../print.js';
import { jsonOption } from '../running-stack.js';
import { keepSecrets } from '../secrets.js';

export function deployCommand(): Command {
  const prepare = new Command('prepare')
    .description('write the Secrets of an installation, and the values of the chart that go with them')
    .argument('<dir>', 'folder to write to; written again, every key stays what it is')
    .addOption(jsonOption())
    .action(prepareInstallation);
  return new Command('deploy').description('installations on Kubernetes and OpenShift').addCommand(prepare);
}

async function prepareInstallation(dir: string, { json }: { json: boolean }): Promise<void> {
  const folder = resolve(dir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const paths = pathsOf(folder);
  const secrets = await keepSecrets(paths);
  const users = await writeExternalConfig({
    folder: join(folder, 'nats'),
    topology: declareTopology(),
    auth: 'nkeys',
    server: { storeDir: '/data/jetstream' },
  });
  const seeds = await Promise.all(
    users.map(async ({ name, secret_file }): Promise<[string, string]> => {
      if (secret_file) return [`${name}.nk`, (await readFile(secret_file, 'utf8')).trim()];
      throw new Failure(
        `The seed of ${name} is not in ${folder} any more: what was prepared there cannot be prepared again.`,
      );
    }),
  );
  const manifests = [
    secret('callboard-nats-users', Object.fromEntries(seeds)),
    secret('callboard-keys', {
      'request-state-key': secrets.requestStateKey,
      'results-key': secrets.resultsKey,
      'pseudonym-key': secrets.pseudonymKey,
      'audit-sealing-key': secrets.auditSealingKey,
      'audit-signing-key': secrets.auditSigningKey,
      'ingest-token': secrets.token,
    }),
    secret('callboard-tokens', { 'tokens.json': await readFile(paths.tokens, 'utf8') }),
    secret('callboard-test-token', { token: secrets.token }),
  ];
  const files = { secrets: join(folder, 'secrets.yaml'), values: join(folder, 'values.yaml') };
  await writeSecret(files.secrets, manifests.map((manifest) => stringify(manifest)).join('---\n'));
  const nkeys = Object.fromEntries(users.map(({ name, nkeys }) => [name, nkeys]));
  await writeSecret(files.values, stringify({ nats: { server: { users: nkeys } } }));
  if (json) return printJson(files);
  console.log(`Secrets to apply   ${files.secrets}`);
  console.log(`Values, not secret ${files.values}`);
  console.log(
    `Keep ${folder} where you keep keys: whoever has it can read everything, and without it nothing can be prepared again.`,
  );
}

function secret(name: string, stringData: Record<string, string>): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'Opaque', stringData };
}
