import { AppConfig, FromEnv } from '@callboard/config';
import { IsBase64, IsInt, IsNotEmpty, IsOptional, IsString, IsUrl, Max, Min, MinLength } from 'class-validator';
import { hostname } from 'node:os';

export class RunnerConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_INSTANCE',
    'Name of this replica; no two living processes may share one. A restarted replica that keeps its name takes its partitions back at once',
  )
  @IsString()
  @IsNotEmpty()
  instance: string = `action-runner-${hostname()}-${process.pid}`;

  @FromEnv('CALLBOARD_PARTITIONS', 'Number of command partitions, as in the topology')
  @IsInt()
  @Min(1)
  @Max(1024)
  partitions: number = 16;

  @FromEnv(
    'CALLBOARD_CONCURRENCY_PER_PARTITION',
    'Commands that run at once in one partition, each of another ordering key',
  )
  @IsInt()
  @Min(1)
  @Max(10_000)
  concurrencyPerPartition: number = 256;

  @FromEnv('CALLBOARD_WINDOW_BYTES_PER_PARTITION', 'Bytes of commands that one partition reads ahead into memory')
  @IsInt()
  @Min(1_048_576)
  windowBytesPerPartition: number = 16 * 1_048_576;

  @FromEnv(
    'CALLBOARD_STARVATION_MS',
    'A command that is first of its key and has waited so long for more urgent ones takes turns with them',
  )
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  starvationMs: number = 10_000;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping runner waits for what runs before it aborts it')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  drainTimeoutMs: number = 20_000;

  @FromEnv(
    'CALLBOARD_ACTION_MODULES',
    'Modules whose export `actions` is an ActionSet, or a function from the environment to one; comma separated',
  )
  @IsString()
  @IsNotEmpty()
  actionModules: string = '@callboard/demo-actions';

  @FromEnv(
    'CALLBOARD_POLICIES',
    "Cedar policies that say who may do what: a *.cedar file, or a folder of them; see docs/access-policies.md. Empty: everything within one's tenant",
  )
  @IsString()
  policies: string = '';

  @FromEnv(
    'CALLBOARD_ADAPTERS',
    'YAML file of the actions that live outside this process; several, comma separated; see docs/adapters.md',
  )
  @IsOptional()
  @IsString()
  adapters?: string = undefined;

  @FromEnv('CALLBOARD_RESULTS_URL', 'URL of the results endpoint of the front ends, as far sides reach it')
  @IsOptional()
  @IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false })
  resultsUrl?: string = undefined;

  @FromEnv(
    'CALLBOARD_RESULTS_KEY',
    'At least 32 random bytes in base64, the same on every front end and runner: key of the tokens with which far sides report',
  )
  @IsOptional()
  @IsBase64()
  @MinLength(43)
  resultsKey?: string = undefined;

  @FromEnv('CALLBOARD_SERVICE', 'Name under which the registry lists who serves these actions')
  @IsString()
  @IsNotEmpty()
  service: string = 'action-runner';
}
