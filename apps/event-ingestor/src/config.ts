import { EdgeConfig, FromEnv } from '@callboard/config';
import { IsInt, IsNotEmpty, IsString, Max, Min, MinLength, ValidateIf } from 'class-validator';

/** Configuration of one process of the ingestor. Where events come from is in the sources file. */
export class IngestorConfig extends EdgeConfig {
  @FromEnv('CALLBOARD_INSTANCE', 'Name of this replica; a restarted process keeps it')
  @IsString()
  @IsNotEmpty()
  instance: string = 'event-ingestor-1';

  @FromEnv(
    'CALLBOARD_SOURCES',
    'YAML file of the sources whose events are taken; several, comma separated; see docs/events.md',
  )
  @IsString()
  sources: string = '';

  @FromEnv(
    'CALLBOARD_INGEST_TOKEN',
    'Bearer token of the source `local`, which takes CloudEvents of tenant `default`; empty: there is no such source',
  )
  @ValidateIf(({ ingestToken }: IngestorConfig) => ingestToken !== '')
  @IsString()
  @MinLength(16)
  ingestToken: string = '';

  @FromEnv('CALLBOARD_HTTP_HOST', 'Address to take events on')
  @IsString()
  @IsNotEmpty()
  httpHost: string = '127.0.0.1';

  @FromEnv('CALLBOARD_HTTP_PORT', 'Port to take events on; 0 takes any free port')
  @IsInt()
  @Min(0)
  @Max(65535)
  httpPort: number = 3334;

  @FromEnv('CALLBOARD_MAX_BODY_BYTES', 'Largest request body; one event is limited to 992 KiB beside this')
  @IsInt()
  @Min(1024)
  maxBodyBytes: number = 4 * 1024 * 1024;

  @FromEnv('CALLBOARD_MAX_DEPTH', 'Deepest nesting of a request body')
  @IsInt()
  @Min(8)
  @Max(512)
  maxDepth: number = 64;

  @FromEnv('CALLBOARD_MAX_BATCH', 'Most events of one batch')
  @IsInt()
  @Min(1)
  @Max(10_000)
  maxBatch: number = 1_000;

  @FromEnv('CALLBOARD_REQUEST_TIMEOUT_MS', 'How long a sender may take to send a whole request')
  @IsInt()
  @Min(100)
  requestTimeoutMs: number = 15_000;

  @FromEnv(
    'CALLBOARD_STORE_TIMEOUT_MS',
    'How long a request waits for its events to be stored, before the sender is asked to send them again',
  )
  @IsInt()
  @Min(100)
  @Max(60_000)
  storeTimeoutMs: number = 8_000;

  @FromEnv('CALLBOARD_MAX_REQUESTS', 'Requests with a token that this replica serves at once; and as many webhooks')
  @IsInt()
  @Min(1)
  maxRequests: number = 1024;

  @FromEnv(
    'CALLBOARD_MAX_REQUEST_BYTES',
    'Bytes of the bodies of all requests with a token that are in flight; and as many of webhooks',
  )
  @IsInt()
  @Min(1024 * 1024)
  maxRequestBytes: number = 64 * 1024 * 1024;

  @FromEnv('CALLBOARD_MAX_CONNECTIONS', 'Open connections of this replica; more are closed as they come')
  @IsInt()
  @Min(1)
  maxConnections: number = 4_096;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping replica waits for the requests that it serves')
  @IsInt()
  @Min(0)
  drainTimeoutMs: number = 10_000;
}
