/**
 * The order of the spec files where no earlier run has told how long each takes, as on a clean clone: those that take minutes come first, so that
 * none of them is left alone at the end; then those that need a Backstage, which is installed meanwhile; then the others, as Jest has them.
 */
import { readFileSync } from 'node:fs';
import sequencer from '@jest/test-sequencer';

/** The slowest comes first; a minute and more each. */
const SLOWEST = [
  'tools/docs/dist/runbook.spec.js',
  'apps/cli/dist/stack.spec.js',
  'tools/observability/dist/planted-faults.spec.js',
  'apps/cli/dist/operator.spec.js',
  'apps/event-ingestor/dist/main.spec.js',
  'libs/jetstream/dist/command-consumer.spec.js',
  'apps/action-runner/dist/run-command.spec.js',
  'apps/cli/dist/erase-tenant.spec.js',
  'apps/pii-filter/dist/main.spec.js',
  'libs/redaction/dist/poison.spec.js',
];
/** In the order in which they are installed. */
const NEEDS = [/describeWith\(\[[^\]]*\bBACKSTAGE/, /describeWith\(\[[^\]]*\bSCAFFOLDER_BACKSTAGE/];

/** Its types are those of CommonJS. */
const Sequencer = sequencer as unknown as typeof sequencer.default;
type Tests = Parameters<InstanceType<typeof Sequencer>['sort']>[0];

export default class LongestFirst extends Sequencer {
  override sort(tests: Tests): Tests {
    const sorted = super.sort(tests) as Tests;
    if (sorted.some(({ duration }) => duration !== undefined)) return sorted;
    const rank = new Map(sorted.map((test) => [test, rankOf(test.path)]));
    // What is of one rank stays as it was.
    return sorted.sort((a, b) => rank.get(a)! - rank.get(b)!);
  }
}

function rankOf(path: string): number {
  const at = SLOWEST.findIndex((slow) => path.endsWith(slow));
  if (at >= 0) return at;
  const text = readFileSync(path, 'utf8');
  const needs = NEEDS.findIndex((what) => what.test(text));
  return SLOWEST.length + (needs >= 0 ? needs : NEEDS.length);
}
