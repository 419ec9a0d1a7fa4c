import { describe, expect, it } from '@jest/globals';
import { OTHERS, tenantsIn } from './tenant-metrics.js';

const front = (open: number, refused: number) => `
# HELP callboard_tenant_quota What a tenant may use
callboard_tenant_quota{tenant="acme",limit="commands"} 5
callboard_tenant_quota{tenant="%others",limit="commands"} 100
callboard_tenant_commands_open{tenant="acme"} ${open}
callboard_tenant_commands_open{tenant="a \\"b\\" \\\\ c"} 1
callboard_tenant_refusals_total{tenant="acme",limit="commands of a tenant"} ${refused}
callboard_commands_open 7`;

describe('what front ends say of their tenants', () => {
  it('is added up, and a tenant without a quota of its own has that of all others', () => {
    const tenants = tenantsIn([front(2, 1), front(3, 4)]);
    expect(tenants.get('acme')).toEqual({
      own: true,
      quota: { commands: 5 },
      open: 5,
      refused: { 'commands of a tenant': 5 },
    });
    expect(tenants.get('a "b" \\ c')).toEqual({ own: false, quota: { commands: 100 }, open: 2, refused: {} });
    expect(tenants.get(OTHERS)).toMatchObject({ own: false, open: 0, quota: { commands: 100 } });
  });
});
