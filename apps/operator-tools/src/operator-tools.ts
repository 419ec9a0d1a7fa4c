import { ActionSet, type ActionDefinition } from '@callboard/actions';
import {
  AuditTrail,
  BUCKET,
  CommandClient,
  DeadLetterBox,
  Halts,
  KeyValueStore,
  LedgerControl,
  connectApp,
  watchConnection,
} from '@callboard/jetstream';
import { ActionService } from '@callboard/service';
import { OpsServer, gateOf, openPolicies, watchAudit, type Logger } from '@callboard/telemetry';
import type { OperatorToolsConfig } from './config.js';
import { LedgerTools } from './ledger-tools.js';
import { LetterTools } from './letter-tools.js';

/** Everything that the operators' tools are made of, wired by hand. */
export interface RunningOperatorTools {
  ops: OpsServer;
  /** Ends what is begun, and lets go of everything. */
  stop(): Promise<void>;
}

const SERVICE = 'operator-tools';
const SUBJECT = 'svc.operator-tools';

export async function createOperatorTools(config: OperatorToolsConfig, log: Logger): Promise<RunningOperatorTools> {
  const nc = await connectApp(SERVICE, config, log);
  const policies = await openPolicies(config.policies, log);
  const audit = watchAudit(new AuditTrail(nc, { app: SERVICE, instance: config.instance }), log);
  const gate = gateOf(policies, audit);
  const commands = await CommandClient.start(nc, { instance: config.instance, audit });
  const halts = await Halts.open(nc);
  const letters = new LetterTools(await DeadLetterBox.open(nc), commands, halts, gate, audit);
  const ledger = new LedgerTools(new LedgerControl(nc), gate);
  const service = await ActionService.start(nc, await KeyValueStore.open(nc, BUCKET.actions), {
    service: SERVICE,
    place: config.instance,
    actions: new ActionSet([...letters.actions(), ...ledger.actions()].map(served)),
    subject: SUBJECT,
    maxCommands: config.maxCommands,
    onError: (error, command) => log.warn({ err: error, ...command }, 'the operators tools met an error and go on'),
  });
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: watchConnection(nc) }),
    stop: async () => {
      await service.drain(config.drainTimeoutMs);
      commands.close();
      halts.close();
      policies.close();
      await audit.close();
      await nc.drain();
    },
  };
}

function served(action: ActionDefinition): ActionDefinition {
  return { ...action, descriptor: { ...action.descriptor, binding: { kind: 'nats', subject: SUBJECT } } };
}
