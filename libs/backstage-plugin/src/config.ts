import type { RootConfigService } from '@backstage/backend-plugin-api';
import { TOPIC, type BackstageOrigin } from '@callboard/events';
import type { NatsOptions } from '@callboard/jetstream';

export interface PluginConfig {
  topics: string[];
  origin: BackstageOrigin;
  nats: Pick<NatsOptions, 'servers' | 'credsFile' | 'nkeyFile' | 'tls'>;
  /** Events that are being stored at once; the others wait. */
  maxInFlight: number;
}

/** NATS lets the user `backstage` publish events of this source and of no other. */
export const SOURCE_NAME = 'backstage';
const DEFAULT_TENANT = 'default';
const DEFAULT_MAX_IN_FLIGHT = 256;

/**
 * What `callboard.events` of the app-config says; undefined when there is none.
 * @throws Error naming the key that is wrong and what it must be.
 */
export function readPluginConfig(root: RootConfigService): PluginConfig | undefined {
  const config = root.getOptionalConfig('callboard.events');
  if (!config) return undefined;
  const topics = config.getStringArray('topics');
  const wrong = topics.findIndex((topic) => !TOPIC.test(topic));
  if (topics.length === 0 || wrong >= 0) {
    throw new Error(
      `callboard.events.topics${wrong >= 0 ? `[${wrong}]` : ''} must be a topic: 1 to 128 letters, digits and . _ : / -`,
    );
  }
  const maxInFlight = config.getOptionalNumber('maxInFlight') ?? DEFAULT_MAX_IN_FLIGHT;
  if (!Number.isInteger(maxInFlight) || maxInFlight < 1 || maxInFlight > 10_000) {
    throw new Error('callboard.events.maxInFlight must be a whole number from 1 to 10000');
  }
  return {
    topics: [...new Set(topics)],
    origin: {
      tenantId: config.getOptionalString('tenant') ?? DEFAULT_TENANT,
      sourceName: SOURCE_NAME,
      eventsUrl: `${root.getString('backend.baseUrl').replace(/\/+$/, '')}/api/events`,
    },
    nats: natsOf(config.getConfig('nats')),
    maxInFlight,
  };
}

function natsOf(config: ReturnType<RootConfigService['getConfig']>): PluginConfig['nats'] {
  const credsFile = config.getOptionalString('credentialsFile');
  const nkeyFile = config.getOptionalString('nkeySeedFile');
  if (credsFile !== undefined && nkeyFile !== undefined) {
    throw new Error('callboard.events.nats must have one of credentialsFile and nkeySeedFile, not both');
  }
  const tls = config.getOptionalConfig('tls');
  const caFile = tls?.getOptionalString('caFile');
  const certFile = tls?.getOptionalString('certFile');
  const keyFile = tls?.getOptionalString('keyFile');
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new Error('callboard.events.nats.tls must have both of certFile and keyFile, or none');
  }
  return {
    servers: config.getString('servers'),
    ...(credsFile !== undefined && { credsFile }),
    ...(nkeyFile !== undefined && { nkeyFile }),
    ...(tls && {
      tls: {
        ...(caFile !== undefined && { caFile }),
        ...(certFile !== undefined && { certFile }),
        ...(keyFile !== undefined && { keyFile }),
        handshakeFirst: tls.getOptionalBoolean('handshakeFirst') ?? false,
      },
    }),
  };
}
