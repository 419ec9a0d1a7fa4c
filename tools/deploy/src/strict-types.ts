/**
 * Are manifests what Kubernetes and the operators' kinds take? Twice: by the types of their schemas, where a member that does not exist is an
 * error as it is in a program (an API server would drop it without a word), and by the schemas themselves, which know patterns and numbers.
 */
import { join } from 'node:path';
import ts from 'typescript';
import { inRepository } from './repository.js';
import type { Manifest } from './scenarios.js';

/** Where the type of each kind is. */
const MODELS: Record<string, string> = {
  v1: 'kubernetes-models/v1',
  'apps/v1': 'kubernetes-models/apps/v1',
  'batch/v1': 'kubernetes-models/batch/v1',
  'policy/v1': 'kubernetes-models/policy/v1',
  'autoscaling/v2': 'kubernetes-models/autoscaling/v2',
  'networking.k8s.io/v1': 'kubernetes-models/networking.k8s.io/v1',
  'gateway.networking.k8s.io/v1': '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
  'keda.sh/v1alpha1': '@kubernetes-models/keda/keda.sh/v1alpha1',
  'external-secrets.io/v1': '@kubernetes-models/external-secrets/external-secrets.io/v1',
};

/** The part of OpenShift's Route that the chart uses; nobody publishes its type for npm. */
const ROUTE = `class Route {
  constructor(_: {
    metadata: { name: string; labels: Record<string, string>; annotations: Record<string, string> };
    spec: {
      host?: string;
      to: { kind: 'Service'; name: string; weight?: number };
      port?: { targetPort: string | number };
      tls?: { termination: 'edge' | 'passthrough' | 'reencrypt'; insecureEdgeTerminationPolicy?: 'None' | 'Allow' | 'Redirect' };
    };
  }) {}
}`;
const ROUTE_API = 'route.openshift.io/v1';

/** One line for each manifest that is not what its kind takes. */
export async function strangers(manifests: readonly Manifest[]): Promise<string[]> {
  return [...byType(manifests), ...(await bySchema(manifests))];
}

function byType(manifests: readonly Manifest[]): string[] {
  const said: string[] = [];
  const imports = new Map<string, string>();
  const lines: string[] = [];
  const of: Manifest[] = [];
  for (const manifest of manifests) {
    const { apiVersion, kind, ...rest } = manifest;
    const model = MODELS[apiVersion];
    if (!model && apiVersion !== ROUTE_API) {
      said.push(`${kind} ${manifest.metadata?.name}: there is no type of ${apiVersion}`);
      continue;
    }
    if (model) imports.set(kind, `import { ${kind} } from '${model}/${kind}';`);
    of.push(manifest);
    lines.push(`new ${kind}(${JSON.stringify(rest)});`);
  }
  const head = [...imports.values(), ROUTE].join('\n').split('\n');
  const file = join(inRepository('tools/deploy'), 'rendered-manifests.ts');
  const text = [...head, ...lines].join('\n');
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.getSourceFile = (path, version) =>
    path === file ? ts.createSourceFile(path, text, version) : getSourceFile(path, version);
  for (const { messageText, start, file: where } of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
    const message = ts.flattenDiagnosticMessageText(messageText, ' ');
    const line = where && start !== undefined ? where.getLineAndCharacterOfPosition(start).line - head.length : -1;
    const about = of[line];
    said.push(`${about ? `${about.kind} ${about.metadata.name}` : 'the types'}: ${message}`);
  }
  return said;
}

type Model = new (data: object) => { validate(): void };

async function bySchema(manifests: readonly Manifest[]): Promise<string[]> {
  const said: string[] = [];
  for (const { apiVersion, kind, ...rest } of manifests) {
    const model = MODELS[apiVersion];
    if (!model) continue;
    const module = (await import(model)) as Record<string, Model>;
    try {
      new module[kind]!(rest).validate();
    } catch (error) {
      said.push(`${kind} ${rest.metadata.name}: ${(error as Error).message}`);
    }
  }
  return said;
}
