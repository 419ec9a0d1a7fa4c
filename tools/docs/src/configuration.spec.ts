/**
 * `docs/configuration.md` against the code, in both directions: the configuration classes of the apps, the keys of the supervisor's
 * file, and every other variable that the sources read.
 */
import { hostname } from 'node:os';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { VaultConfig, describeConfig, type ConfigVariable } from '@callboard/config';
import { firstTable, inRepository, productSources, readPage, section } from './pages.js';

/** Every app with a configuration class, and its variables. */
async function configuredApps(): Promise<Map<string, ConfigVariable[]>> {
  const apps = new Map<string, ConfigVariable[]>();
  for (const app of (await readdir(inRepository('apps'))).sort()) {
    const module = inRepository(`apps/${app}/dist/config.js`);
    if (!existsSync(module)) continue;
    const exported = Object.values((await import(module.href)) as Record<string, unknown>);
    const classes = exported.filter((value): value is new () => object => typeof value === 'function');
    apps.set(
      app,
      classes.flatMap((type) => describeConfig(type)),
    );
  }
  return apps;
}

function shown(value: unknown): string {
  if (value === undefined || value === '') return 'none';
  // What names the machine or the process is another text everywhere.
  return `\`${String(value).replace(`-${hostname()}-${process.pid}`, '-<host>-<pid>')}\``;
}

function variablesNamed(text: string): Set<string> {
  return new Set([...text.matchAll(/\bCALLBOARD_[A-Z_]+\b/g)].map(([name]) => name));
}

describe('docs/configuration.md', () => {
  let page: string;
  let apps: Map<string, ConfigVariable[]>;

  beforeAll(async () => {
    page = await readPage('docs/configuration.md');
    apps = await configuredApps();
  });

  it('lists the variables of every app as its configuration class declares them: name, default, meaning', () => {
    expect(apps.size).toBeGreaterThan(0);
    for (const [app, variables] of apps) {
      const declared = variables.map(({ name, default: value, description }) => [
        `\`${name}\``,
        shown(value),
        description,
      ]);
      expect([app, firstTable(section(page, `### ${app}`)).sort()]).toEqual([app, declared.sort()]);
    }
  });

  it('lists the variables of Vault, which several apps read', () => {
    const declared = describeConfig(VaultConfig).map(({ name, default: value, description }) => [
      `\`${name}\``,
      shown(value),
      description,
    ]);
    expect(firstTable(section(page, '### Vault')).sort()).toEqual(declared.sort());
  });

  it("lists every key of the supervisor's configuration file, and no other", async () => {
    const module = inRepository('apps/cli/dist/stack-config.js').href;
    const { CONFIG_KEYS } = (await import(module)) as { CONFIG_KEYS: string[] };
    const rows = firstTable(section(page, '## The configuration file'));
    expect(rows.map(([key]) => key!.replaceAll('`', '')).sort()).toEqual([...CONFIG_KEYS].sort());
  });

  it('names every variable that the sources read, and no variable that none of them reads', async () => {
    const sources = productSources();
    const texts = await Promise.all(sources.map((path) => readFile(inRepository(path), 'utf8')));
    expect([...variablesNamed(page)].sort()).toEqual([...variablesNamed(texts.join('\n'))].sort());
  });
});
