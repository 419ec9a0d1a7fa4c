/** What the chart is proven with: six installations, each with its values, what its cluster knows, and what the chart makes of it (`rendered.yaml`). */
import { join } from 'node:path';
import { runCommand } from '@callboard/nats-server';
import { parseAllDocuments } from 'yaml';
import type { Helm } from './helm.js';
import { CHART, inRepository } from './repository.js';

export interface Scenario {
  name: string;
  /** Kinds that a cluster of this sort has beside Kubernetes' own. */
  knows: readonly string[];
}

const OPENSHIFT = ['route.openshift.io/v1', 'monitoring.coreos.com/v1', 'keda.sh/v1alpha1'];

export const SCENARIOS: readonly Scenario[] = [
  { name: 'openshift-default', knows: OPENSHIFT },
  { name: 'k8s-ingress', knows: ['monitoring.coreos.com/v1'] },
  { name: 'gateway-api', knows: ['gateway.networking.k8s.io/v1'] },
  { name: 'external-nats', knows: [...OPENSHIFT, 'external-secrets.io/v1'] },
  { name: 'ha-r3', knows: OPENSHIFT },
  { name: 'minimal-dev', knows: [] },
];

/** One of Kubernetes' objects, as far as everybody looks at it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  [member: string]: unknown;
}

export function folderOf({ name }: Scenario): string {
  return inRepository(`deploy/helm/scenarios/${name}`);
}

const RENDER_MS = 60_000;
/** What does not change with the helm that renders. */
const KUBERNETES = '1.31.0';

/** @throws Error with helm's own words where the chart refuses its values. */
export async function render(helm: Helm, scenario: Scenario, ...more: string[]): Promise<string> {
  return runCommand(
    helm.path,
    [
      ...['template', 'callboard', CHART, '--namespace', 'callboard', '--kube-version', KUBERNETES],
      ...scenario.knows.flatMap((api) => ['--api-versions', api]),
      ...['--values', join(folderOf(scenario), 'values.yaml')],
      ...more,
    ],
    { timeoutMs: RENDER_MS },
  );
}

export function lint(helm: Helm, scenario: Scenario): Promise<string> {
  const values = join(folderOf(scenario), 'values.yaml');
  const [major = 0, minor = 0] = helm.version.split('.').map(Number);
  // Before 3.14 it takes a version of Kubernetes to be given that is as old as itself.
  const kubernetes = major > 3 || minor >= 14 ? ['--kube-version', KUBERNETES] : [];
  return runCommand(helm.path, ['lint', '--strict', CHART, ...kubernetes, '--values', values], {
    timeoutMs: RENDER_MS,
  });
}

/** @throws Error where it is no YAML, or a key is there twice. */
export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text)
    .filter((document) => document.contents !== null)
    .map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as Manifest;
    });
}
