import { describe, expect, it } from '@jest/globals';
import { Failure } from './failure.js';
import {
  APPS,
  CONFIG_KEYS,
  DEFAULT_CONFIG,
  parseConfig,
  parsePort,
  parseReplicas,
  topologyOptions,
} from './stack-config.js';

const wrong = (content: string) => {
  try {
    parseConfig(content, 'stack.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    return (error as Failure).message;
  }
  throw new Error('it was accepted');
};

describe('the configuration file', () => {
  it('sets every key that it names and leaves the defaults of the others', () => {
    const config = parseConfig(
      `
      port: 4444
      ingest_port: 4445
      replicas: { action-runner: 3 }
      nats: { port: 4222, sync_interval: 2m, min_free_bytes: 67108864, nodes: 5 }
      streams: { partitions: 32, retention_hours: 48, max_bytes: 1048576 }
      action_modules: ['@acme/actions', ./mine.mjs]
      adapters: ./adapters.yaml
      sagas: ./sagas
      redaction_policy: ./redaction.yaml
      sources: ./sources.yaml
      env:
        mcp-frontend: { CALLBOARD_LOG_LEVEL: debug, LIMIT: 5 }
      `,
      'stack.yaml',
    );
    expect(config).toEqual({
      port: 4444,
      ingestPort: 4445,
      replicas: { ...DEFAULT_CONFIG.replicas, 'action-runner': 3 },
      nats: { port: 4222, syncInterval: '2m', minFreeBytes: 64 * 1024 ** 2, nodes: 5, tls: false },
      topology: { partitions: 32, retentionMs: 48 * 3_600_000, maxBytes: 1048576 },
      actionModules: ['@acme/actions', './mine.mjs'],
      adapters: './adapters.yaml',
      sagas: './sagas',
      redactionPolicy: './redaction.yaml',
      sources: './sources.yaml',
      env: { 'mcp-frontend': { CALLBOARD_LOG_LEVEL: 'debug', LIMIT: '5' } },
    });
    expect(topologyOptions(config)).toMatchObject({ partitions: 32, replicas: 3 });
  });

  it('may be JSON, and may be empty', () => {
    expect(parseConfig('{"port": 5555}', 'stack.json').port).toBe(5555);
    expect(parseConfig('', 'stack.yaml')).toEqual(DEFAULT_CONFIG);
  });

  it('is refused with the name of a key that does not exist, and the keys that do', () => {
    expect(wrong('prot: 1')).toBe(`stack.yaml: there is no key prot. Known keys: ${CONFIG_KEYS.join(', ')}`);
    expect(wrong('nats: { prot: 1 }')).toMatch(/^stack\.yaml: there is no key nats\.prot\./);
    expect(wrong('replicas: { prompter: 2 }')).toBe(
      `stack.yaml: replicas names an app that does not exist; the apps are ${APPS.join(', ')}`,
    );
  });

  it.each([
    ['port: "3333"', 'stack.yaml: port must be a whole number from 0 to 65535'],
    ['port: 70000', 'stack.yaml: port must be a whole number from 0 to 65535'],
    ['nats: { nodes: 2 }', 'stack.yaml: nats.nodes must be one of 1, 3, 5'],
    ['replicas: { action-runner: 0 }', 'stack.yaml: replicas must be a whole number from 1 to 64'],
    ['replicas: 3', 'stack.yaml: replicas must be a map'],
    ['nats: { sync_interval: sometimes }', 'stack.yaml: nats.sync_interval must be always, or an interval such as 2m'],
    ['streams: { partitions: 1.5 }', 'stack.yaml: streams.partitions must be a whole number from 1 to 1024'],
    ['action_modules: demo', 'stack.yaml: action_modules must be a list'],
    ['env: { mcp-frontend: { "A B": c } }', 'stack.yaml: env must name environment variables'],
    ['- a list', 'stack.yaml: must be a map of keys'],
  ])('%s is refused, with what it must be', (content, message) => {
    expect(wrong(content)).toBe(message);
  });

  it('is refused with the place when it is not YAML', () => {
    expect(wrong('port: [1')).toMatch(/^stack\.yaml: .*line 1/);
  });
});

describe('the command line', () => {
  it('takes replicas as APP=N,APP=N', () => {
    expect(parseReplicas('mcp-frontend=2,action-runner=3')).toEqual({ 'mcp-frontend': 2, 'action-runner': 3 });
    expect(() => parseReplicas('action-runner')).toThrow('--replicas must be APP=N,APP=N');
    expect(() => parseReplicas('runner=3')).toThrow('--replicas names an app that does not exist');
    expect(() => parseReplicas('action-runner=many')).toThrow('--replicas must be a whole number');
  });

  it('takes a port', () => {
    expect(parsePort('0')).toBe(0);
    expect(() => parsePort('http')).toThrow('--port must be a whole number from 0 to 65535');
  });
});
