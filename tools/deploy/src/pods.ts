/** Every pod that a rendered chart starts, whatever starts it: hooks and tests too. */
import type { Manifest } from './scenarios.js';

export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: Record<string, Record<string, string>> }[];
  securityContext?: Record<string, unknown>;
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  [member: string]: unknown;
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes?: ({ name: string } & Record<string, unknown>)[];
  securityContext?: Record<string, unknown>;
  automountServiceAccountToken?: boolean;
  [member: string]: unknown;
}

export interface Pod {
  /** Kind and name of what starts it. */
  of: string;
  spec: PodSpec;
  labels: Record<string, string>;
}

export function podsOf(manifests: readonly Manifest[]): Pod[] {
  return manifests.flatMap((manifest) => {
    const of = `${manifest.kind} ${manifest.metadata.name}`;
    const spec = manifest['spec'] as
      (PodSpec & { template?: { metadata: Manifest['metadata']; spec: PodSpec } }) | undefined;
    if (manifest.kind === 'Pod') return [{ of, spec: spec!, labels: manifest.metadata.labels ?? {} }];
    if (!spec?.template?.spec?.containers) return [];
    return [{ of, spec: spec.template.spec, labels: spec.template.metadata.labels ?? {} }];
  });
}
