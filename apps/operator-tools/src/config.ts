import { AppConfig, FromEnv } from '@callboard/config';
import { IsInt, IsNotEmpty, IsString, Max, Min } from 'class-validator';
import { hostname } from 'node:os';

/** Configuration of one process of the operators' tools. */
export class OperatorToolsConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_INSTANCE',
    'Name of this replica; no two living processes may share one. A restarted replica that keeps its name tells at once that the process before is gone',
  )
  @IsString()
  @IsNotEmpty()
  instance: string = `operator-tools-${hostname()}-${process.pid}`;

  @FromEnv(
    'CALLBOARD_POLICIES',
    'Cedar policies that say who may do what: a *.cedar file, or a folder of them; see docs/access-policies.md. Empty: nobody is an operator',
  )
  @IsString()
  policies: string = '';

  @FromEnv('CALLBOARD_OPERATOR_TOOLS_MAX_COMMANDS', 'Commands that this process has at once')
  @IsInt()
  @Min(1)
  @Max(4_096)
  maxCommands: number = 64;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping process waits for what it has; then others take it over')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  drainTimeoutMs: number = 10_000;
}
