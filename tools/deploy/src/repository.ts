import { fileURLToPath } from 'node:url';

/** A path within the repository. */
export function inRepository(path: string): string {
  return fileURLToPath(new URL(`../../../${path}`, import.meta.url));
}

export const CHART = inRepository('deploy/helm/callboard');

/** Every app that the chart installs, and the program of its operators. */
export const APPS = [
  'mcp-frontend',
  'action-runner',
  'event-ingestor',
  'pii-filter',
  'notifier',
  'operator-tools',
  'saga-orchestrator',
  'audit-writer',
] as const;
export type AppName = (typeof APPS)[number];
export const IMAGES = [...APPS, 'cli'] as const;
