import { AppConfig, FromEnv } from '@callboard/config';
import { IsIn, IsInt, IsNotEmpty, IsOptional, IsString, Max, Min } from 'class-validator';
import { hostname } from 'node:os';

/** Configuration of one process of the saga orchestrator. What sagas do is in their definitions. */
export class OrchestratorConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_INSTANCE',
    'Name of this replica; no two living processes may share one. A restarted replica that keeps its name takes its sagas back at once',
  )
  @IsString()
  @IsNotEmpty()
  instance: string = `saga-orchestrator-${hostname()}-${process.pid}`;

  @FromEnv('CALLBOARD_SAGAS', 'Folder of saga definitions, or one file; none without it. See docs/sagas.md')
  @IsOptional()
  @IsString()
  sagas?: string = undefined;

  @FromEnv(
    'CALLBOARD_SAGAS_UNCOMPENSATED',
    'What becomes of a saga with a destructive step that nothing undoes: `refuse` or `warn`',
  )
  @IsIn(['refuse', 'warn'])
  uncompensated: 'refuse' | 'warn' = 'refuse';

  @FromEnv('CALLBOARD_MAX_SAGAS', 'Sagas that this process has at once; more declared ones are refused as `overloaded`')
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  maxSagas: number = 20_000;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping orchestrator takes to hand its sagas over')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  drainTimeoutMs: number = 10_000;
}
