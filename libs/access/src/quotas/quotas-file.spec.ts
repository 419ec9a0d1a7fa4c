import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Quota } from './quota.js';
import { QuotasFile, parseQuotas } from './quotas-file.js';

const ENVIRONMENT: Quota = {
  commands: 100,
  commandsPerPrincipal: 10,
  eventSubscriptions: 1_000,
  eventSubscriptionsPerPrincipal: 32,
};

describe('the quotas file', () => {
  const parse = (text: string) => parseQuotas(text, 'quotas.yaml', ENVIRONMENT);

  it('says what holds for a tenant, for all others, and leaves the rest to the environment', () => {
    const { others, tenants } = parse(
      'default: { commands: 50, calls: { per_second: 2.5 } }\ntenants:\n  acme: { commands: 70, calls: { per_second: 9, burst: 40 } }\n  42: {}',
    );
    expect(others).toEqual({ ...ENVIRONMENT, commands: 50, calls: { perSecond: 2.5, burst: 3 } });
    expect(tenants.get('acme')).toEqual({ ...ENVIRONMENT, commands: 70, calls: { perSecond: 9, burst: 40 } });
    expect(tenants.get('42')).toEqual(others);
    expect(parse('')).toEqual({ others: ENVIRONMENT, tenants: new Map() });
  });

  it.each([
    [
      'tenants:\n  acme:\n    command: 5',
      /^quotas.yaml: line 3: tenants.acme has a key command .* known keys: commands, /,
    ],
    ['default:\n  commands: 0', 'quotas.yaml: line 2: default.commands must be >= 1'],
    ['tenants:\n  acme:\n    calls: { burst: 5 }', 'quotas.yaml: line 3: tenants.acme.calls must have per_second'],
    ['tenants: [', /^quotas.yaml: line 1: /],
  ])('names the line and the fix of a mistake: %j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

describe('a quotas file that changes', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-quotas-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is in force without a restart; one that cannot be used leaves the one before in force, and says so', async () => {
    const path = join(folder, 'quotas.yaml');
    await writeFile(path, 'tenants: { acme: { commands: 1 } }');
    const news: string[] = [];
    let heard = () => undefined as void;
    const tell = (word: string) => {
      news.push(word);
      heard();
    };
    const next = () => new Promise<void>((resolve) => (heard = resolve));
    const file = await QuotasFile.open(path, ENVIRONMENT, { changed: () => tell('changed'), broken: tell });
    try {
      expect([file.of('acme').commands, file.of('globex').commands]).toEqual([1, 100]);

      const change = async (text: string) => {
        const told = next();
        await writeFile(path, text);
        process.emit('SIGHUP', 'SIGHUP');
        await told;
      };
      await change('tenants: { acme: { commands: 2 }, globex: { commands: 3 } }');
      expect([file.of('acme').commands, file.of('globex').commands, file.broken]).toEqual([2, 3, false]);

      await change('tenants: { acme: { commands: many } }');
      expect([file.of('acme').commands, file.broken]).toEqual([2, true]);
      expect(news.at(-1)).toBe(`${path}: line 1: tenants.acme.commands must be integer`);

      await change('default: { commands: 7 }');
      expect([file.of('acme').commands, file.broken]).toEqual([7, false]);
    } finally {
      file.close();
    }
  });
});
