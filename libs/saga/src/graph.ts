/** A definition, and how far a saga has come with it, as text for a terminal and as Mermaid for a page. */
import type { SagaDefinition, StepDefinition } from './definition.js';
import type { SagaState, StepState } from './state.js';

type Named = Exclude<StepDefinition, { kind: 'parallel' }>;
type Steps = SagaState['steps'];

/** One line a step; what a step of a running saga has come to is behind it. */
export function sagaText({ id, version, steps }: SagaDefinition, state?: SagaState): string {
  const phase = state ? `: ${state.phase}` : '';
  return [`${id} version ${version}${phase}`, ...textOf(steps, '', '', state?.steps)].join('\n');
}

function textOf(steps: readonly StepDefinition[], parent: string, indent: string, states: Steps | undefined): string[] {
  return steps.flatMap((step, i) => {
    const head = `${indent}${i + 1}. `;
    if (step.kind === 'parallel') {
      const below = step.branches.flatMap((branch, n) => [
        `${indent}   branch ${n + 1}`,
        ...textOf(branch, parent, `${indent}     `, states),
      ]);
      return [`${head}side by side`, ...below];
    }
    const path = parent + step.name;
    const line = `${head}${step.name}: ${whatOf(step)}${statusOf(states?.[path])}`;
    return step.kind === 'saga' ? [line, ...textOf(step.steps, `${path}/`, `${indent}   `, states)] : [line];
  });
}

function whatOf(step: Named): string {
  const when = step.when === undefined ? '' : `, when ${step.when}`;
  if (step.kind === 'saga') return `saga ${step.saga}${when}`;
  if (step.kind === 'approval') {
    return `approval${step.approvers.length > 0 ? ` by ${step.approvers.join(' or ')}` : ''}${when}`;
  }
  return `${step.action}${step.compensation ? `, undone by ${step.compensation.action}` : ''}${when}`;
}

function statusOf(state: StepState | undefined): string {
  if (!state) return '';
  const doubt = state.in_doubt ? ', in doubt' : '';
  return ` [${state.status}${doubt}${state.undoing ? `; undo: ${state.undoing.status}` : ''}]`;
}

/** A flow chart; what a step of a running saga has come to is its colour. */
export function sagaMermaid({ steps }: SagaDefinition, state?: SagaState): string {
  const lines: string[] = [];
  const ends = chart(steps, '', ['start'], '  ', state?.steps, lines);
  return [
    'flowchart TD',
    '  start((start))',
    ...lines,
    '  done((done))',
    ...ends.map((end) => `  ${end} --> done`),
    ...(state ? CLASSES : []),
    '',
  ].join('\n');
}

const CLASSES = [
  '  classDef running fill:#cfe2ff',
  '  classDef succeeded fill:#d1e7dd',
  '  classDef stopped fill:#f8d7da',
  '  classDef undone fill:#e2e3e5,stroke-dasharray:4',
];

/** Draws steps one after the other, and says which nodes the next one comes after. */
function chart(
  steps: readonly StepDefinition[],
  parent: string,
  from: readonly string[],
  indent: string,
  states: Steps | undefined,
  lines: string[],
): readonly string[] {
  return steps.reduce<readonly string[]>((before, step) => {
    if (step.kind === 'parallel') {
      return step.branches.flatMap((branch) => chart(branch, parent, before, indent, states, lines));
    }
    const path = parent + step.name;
    if (step.kind === 'saga') {
      lines.push(`${indent}subgraph ${nodeOf(path)} [${quoted(`${step.name}: ${whatOf(step)}`)}]`);
      const ends = chart(step.steps, `${path}/`, before, `${indent}  `, states, lines);
      lines.push(`${indent}end`);
      return ends;
    }
    const [open, close] = step.kind === 'approval' ? ['{{', '}}'] : ['[', ']'];
    const label = quoted(`${step.name}: ${whatOf(step)}${statusOf(states?.[path])}`);
    lines.push(`${indent}${nodeOf(path)}${open}${label}${close}${classOf(states?.[path])}`);
    lines.push(...before.map((node) => `${indent}${node} --> ${nodeOf(path)}`));
    return [nodeOf(path)];
  }, from);
}

function classOf(state: StepState | undefined): string {
  if (!state || state.status === 'skipped') return '';
  if (state.undoing?.status === 'undone') return ':::undone';
  if (state.status === 'succeeded') return ':::succeeded';
  return state.ended === undefined ? ':::running' : ':::stopped';
}

/** Names have no `/`, so no two paths have one node. */
function nodeOf(path: string): string {
  return `s_${path.replaceAll('/', '__')}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}"`;
}
