/**
 * What the chart-verifier of Red Hat (profile partner 1.3) asks of a chart and can be seen without a cluster. Not seen here: that the images are
 * certified, that the chart installs and its tests pass (`chart-testing`), and its signature.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { CHART } from './repository.js';
import type { Manifest } from './scenarios.js';

interface ChartYaml {
  apiVersion: string;
  kubeVersion?: string;
  annotations?: Record<string, string>;
}

/** The rules that are broken. */
export async function brokenRules(manifests: readonly Manifest[]): Promise<string[]> {
  const files = await readdir(CHART);
  const chart = parse(await readFile(join(CHART, 'Chart.yaml'), 'utf8')) as ChartYaml;
  const tests = await readdir(join(CHART, 'templates', 'tests'));
  const notes = await readFile(join(CHART, 'templates', 'NOTES.txt'), 'utf8');
  const rules: Record<string, boolean> = {
    'has-readme': files.includes('README.md'),
    'is-helm-v3': chart.apiVersion === 'v2',
    'contains-test': tests.length > 0,
    'contains-values': files.includes('values.yaml'),
    'contains-values-schema': files.includes('values.schema.json'),
    'has-kubeversion': /^>=\d+\.\d+\.\d+/.test(chart.kubeVersion ?? ''),
    'has-notes': notes.trim() !== '',
    'required-annotations-present': Boolean(chart.annotations?.['charts.openshift.io/name']),
    'not-contains-crds': !files.includes('crds') && manifests.every(({ kind }) => kind !== 'CustomResourceDefinition'),
    'not-contain-csi-objects': manifests.every(({ kind }) => !kind.startsWith('CSI')),
  };
  return Object.entries(rules)
    .filter(([, holds]) => !holds)
    .map(([rule]) => rule);
}
