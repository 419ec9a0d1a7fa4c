/**
 * What the SCC restricted-v2 of OpenShift refuses, and the restricted Pod Security Standard, and what we ask for beside them: of every pod.
 * A user, a group and a file-system group are chosen by OpenShift from the range of the namespace; whoever names one is refused.
 */
import type { Container, Pod } from './pods.js';

const VOLUMES = new Set(['configMap', 'downwardAPI', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret']);
const CHOSEN = ['runAsUser', 'runAsGroup', 'fsGroup', 'supplementalGroups', 'seLinuxOptions'];

/** One line for each rule that a pod breaks; empty when it would be let in. */
export function refusals({ of, spec }: Pod): string[] {
  const said: string[] = [];
  const expect = (holds: boolean, rule: string) => {
    if (!holds) said.push(`${of}: ${rule}`);
  };
  const security = spec.securityContext ?? {};
  expect(security['runAsNonRoot'] === true, 'runAsNonRoot is not true');
  expect(isRuntimeDefault(security['seccompProfile']), 'seccompProfile is not RuntimeDefault');
  for (const member of CHOSEN) expect(!(member in security), `${member} is set, and OpenShift chooses it`);
  for (const member of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace']) {
    expect(!spec[member], `${member} is set`);
  }
  expect(spec.automountServiceAccountToken === false, 'the token of a service account is mounted');
  expect(spec['enableServiceLinks'] === false, 'services become environment variables');
  expect(typeof spec['serviceAccountName'] === 'string', 'it has no service account of its own');
  for (const { name, ...source } of spec.volumes ?? []) {
    for (const kind of Object.keys(source)) expect(VOLUMES.has(kind), `volume ${name} is a ${kind}`);
    const limited = source['emptyDir'] as { sizeLimit?: string } | undefined;
    expect(
      limited === undefined || name === 'data' || limited.sizeLimit !== undefined,
      `volume ${name} has no sizeLimit`,
    );
  }
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    for (const rule of ofContainer(container)) said.push(`${of}, container ${container.name}: ${rule}`);
  }
  return said;
}

function ofContainer({ securityContext = {}, resources, ports, env = [] }: Container): string[] {
  const said: string[] = [];
  const capabilities = (securityContext['capabilities'] ?? {}) as { drop?: string[]; add?: string[] };
  if (securityContext['allowPrivilegeEscalation'] !== false) said.push('privileges may be escalated');
  if (securityContext['readOnlyRootFilesystem'] !== true) said.push('its root file system can be written to');
  if (securityContext['privileged']) said.push('it is privileged');
  if (!capabilities.drop?.includes('ALL') || capabilities.add?.length) said.push('it keeps capabilities');
  for (const member of CHOSEN) if (member in securityContext) said.push(`${member} is set, and OpenShift chooses it`);
  const { requests = {}, limits = {} } = resources ?? {};
  if (!requests['memory'] || requests['memory'] !== limits['memory']) said.push('it has no memory of its own');
  if (!requests['cpu']) said.push('it asks for no CPU');
  for (const { containerPort, hostPort } of (ports ?? []) as { containerPort: number; hostPort?: number }[]) {
    if (containerPort < 1024 || hostPort !== undefined) said.push(`port ${containerPort} needs a privilege`);
  }
  for (const { name, value } of env) {
    if (value !== undefined && /(KEY|TOKEN|PASSWORD|SECRET)$/.test(name) && !value.startsWith('/')) {
      said.push(`${name} has its secret in the manifest`);
    }
  }
  return said;
}

function isRuntimeDefault(profile: unknown): boolean {
  return (profile as { type?: string } | undefined)?.type === 'RuntimeDefault';
}
