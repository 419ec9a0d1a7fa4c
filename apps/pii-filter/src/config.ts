import { AppConfig, FromEnv } from '@callboard/config';
import { IsBase64, IsInt, IsNotEmpty, IsOptional, IsString, Max, Min, MinLength } from 'class-validator';
import { hostname } from 'node:os';

export class FilterConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_INSTANCE',
    'Name of this replica; no two living processes may share one. A restarted replica that keeps its name takes its partitions back at once',
  )
  @IsString()
  @IsNotEmpty()
  instance: string = `pii-filter-${hostname()}-${process.pid}`;

  @FromEnv(
    'CALLBOARD_PSEUDONYM_KEY',
    'At least 32 random bytes in base64, the same on every filter: wraps the keys of the tenants, with which pseudonyms are made',
  )
  @IsBase64()
  @MinLength(43)
  pseudonymKey!: string;

  @FromEnv(
    'CALLBOARD_REDACTION_POLICY',
    'YAML file of the redaction policies, read again whenever it changes; without one, all detectors for every source',
  )
  @IsOptional()
  @IsString()
  policyFile?: string = undefined;

  @FromEnv('CALLBOARD_FILTER_WORKERS', 'Threads that redact')
  @IsInt()
  @Min(1)
  @Max(64)
  workers: number = 2;

  @FromEnv('CALLBOARD_FILTER_WORKER_HEAP_MB', 'Heap of each of them; an event that needs more is held back')
  @IsInt()
  @Min(32)
  @Max(8_192)
  workerHeapMb: number = 256;

  @FromEnv('CALLBOARD_FILTER_TIMEOUT_MS', 'How long one event may be worked on; then it is held back')
  @IsInt()
  @Min(100)
  @Max(600_000)
  timeoutMs: number = 10_000;

  @FromEnv(
    'CALLBOARD_FILTER_MAX_CRASHES',
    'An event that was being worked on alone when so many filters died is held back',
  )
  @IsInt()
  @Min(1)
  @Max(100)
  maxCrashes: number = 3;

  @FromEnv('CALLBOARD_FILTER_WINDOW_BYTES_PER_PARTITION', 'Bytes of events that one partition reads ahead into memory')
  @IsInt()
  @Min(2_097_152)
  windowBytesPerPartition: number = 8 * 1_048_576;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping filter waits for the events that it has begun')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  drainTimeoutMs: number = 10_000;
}
