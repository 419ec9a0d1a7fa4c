/** What is in deploy/observability, against the code that makes it, the apps that it is about, the runbook, and Prometheus itself. */
import { readFile, readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { describeWith } from '@callboard/testing';
import { parseAllDocuments, stringify } from 'yaml';
import { ALERTS } from './alerts.js';
import { BOARD_EXPRESSIONS } from './asked-for.js';
import { BOARDS } from './dashboards.js';
import { observabilityFiles } from './files.js';
import { PROMTOOL, promtool } from './promtool.js';
import { allRules, ruleFiles, runbookOf } from './rules.js';

const inRepository = (path: string) => new URL(`../../../${path}`, import.meta.url);
const read = (path: string) => readFile(inRepository(path), 'utf8');

describe('deploy/observability', () => {
  it('has every file as the code makes it: npm run observability:generate', async () => {
    for (const [path, text] of observabilityFiles()) expect([path, await read(path)]).toEqual([path, text]);
  });

  it('has five dashboards, each panel with a question of its own', () => {
    expect(BOARDS.map(({ uid }) => uid)).toEqual([
      'callboard-overview',
      'callboard-commands',
      'callboard-events',
      'callboard-sagas',
      'callboard-tenants',
    ]);
    for (const { rows } of BOARDS) {
      const titles = rows.flatMap(([, panels]) => panels.map(({ title }) => title));
      expect(new Set(titles).size).toBe(titles.length);
    }
  });
});

describe('the runbook of alerts', () => {
  it('has a page for each alert and no other, which says what it means, its impact, what to look at and what to do', async () => {
    const pages = (await readdir(inRepository('docs/runbook/alerts'))).filter((name) => name !== 'README.md');
    expect(pages.sort()).toEqual(ALERTS.map(({ name }) => `${name}.md`).sort());
    for (const alert of ALERTS) {
      const page = await read(runbookOf(alert));
      const withoutCode = page.replace(/^```.*?^```$/gms, '');
      expect(withoutCode.match(/^##? .*/gm)).toEqual([
        `# ${alert.name}`,
        '## What it means',
        '## Impact',
        '## What to look at',
        '## What to do',
      ]);
      expect(page).toContain(`${alert.summary}.`);
      expect(page).toMatch(/```sh\n.+\n```\n\n```text\n.+\n```/s);
    }
  });

  it('has each of them in its index', async () => {
    const index = await read('docs/runbook/alerts/README.md');
    const cells = [...index.matchAll(/^\| \[(\w+)\]\(\1\.md\) +\| (\w+) +\| (.+?) +\|$/gm)].map((row) => row.slice(1));
    expect(cells).toEqual(ALERTS.map(({ name, severity, summary }) => [name, severity, summary]));
  });
});

describeWith([PROMTOOL], 'Prometheus', () => {
  it('accepts the rules, and every expression of the dashboards', () => {
    expect(promtool(['check', 'rules', 'rules.yaml'], { 'rules.yaml': allRules() })).toMatchObject({ ok: true });
    const rules = BOARD_EXPRESSIONS.map((expr, i) => ({
      record: `panel:${i}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }));
    const panels = stringify({ groups: [{ name: 'panels', rules }] });
    const { ok, what } = promtool(['check', 'rules', 'panels.yaml'], { 'panels.yaml': panels });
    expect([ok, what]).toEqual([true, expect.stringContaining(`${BOARD_EXPRESSIONS.length} rules found`)]);
  });

  it('lets each alert fire at its fault, and clear when that is mended', () => {
    const files = Object.fromEntries([...ruleFiles()].map(([path, text]) => [basename(path), text]));
    const { ok, what } = promtool(['test', 'rules', 'slos.test.yaml', 'symptoms.test.yaml'], files);
    expect([what.includes('FAILED') ? what : '', ok]).toEqual(['', true]);
  });
});

describeWith([PROMTOOL], 'what KEDA asks for', () => {
  it('is as much as a power of two of runners and filters works off, and no less than what waits', async () => {
    const rendered = await read('deploy/helm/scenarios/ha-r3/rendered.yaml');
    const scaled = parseAllDocuments(rendered)
      .map((document) => document.toJS() as { kind?: string; spec?: { triggers: { metadata: ScaledBy }[] } })
      .filter(({ kind }) => kind === 'ScaledObject')
      .map(({ spec }) => spec!.triggers[0]!.metadata);
    expect(scaled.map(({ threshold }) => threshold)).toEqual(['200', '500']);
    const waits = [
      ['callboard_commands_buffered{namespace="callboard", pod="a"}', 200],
      ['callboard_filter_pending{namespace="callboard", partition="0"}', 500],
    ] as const;
    const tests = scaled.flatMap(({ query, threshold }) =>
      [0, 1, 1.5, 2, 3, 4, 4.5, 8, 9, 16].map((times) => ({
        interval: '1m',
        input_series: waits.map(([series, each]) => ({ series, values: `${each * times}` })),
        promql_expr_test: [
          {
            expr: query,
            eval_time: '0m',
            exp_samples: [{ labels: '{}', value: Number(threshold) * 2 ** Math.ceil(Math.log2(Math.max(times, 1))) }],
          },
        ],
      })),
    );
    const { ok, what } = promtool(['test', 'rules', 'tests.yaml'], { 'tests.yaml': stringify({ tests }) });
    expect([what.includes('FAILED') ? what : '', ok]).toEqual(['', true]);
  });
});

interface ScaledBy {
  query: string;
  threshold: string;
}
