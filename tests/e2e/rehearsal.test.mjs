// A deploy is tried on copies of real actors first, in isolation: nothing live is touched.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deposits, NAME, accounts, arrived } from './accounts.mjs';
import { actionPath, assertRefusal, failsWith, guestBytes, isAsleep, sameAgain, startHost, useHost } from './harness.mjs';
import { connect, connectPath } from './sockets.mjs';

describe('a rehearsal', () => {
  const host = useHost({ components: ['account_v1'], flags: ['--rollout-window', '200ms'] });
  const dryRun = async (component, rehearse) => (await host.deploy(component, { dryRun: true, rehearse })).report.rehearsal;
  const generation = async ({ key }) => {
    const { headers } = await host.request('POST', actionPath(NAME, key, 'balance'), { body: { args: [] } });
    return headers['x-rivet-actor-generation'];
  };

  test('touches nothing live: no state, no generation, no sleep, no connection, no message, no alarm', async (t) => {
    const [awake, asleep, waiting] = await accounts(host, 3);
    const connection = await connect(host, connectPath(NAME, awake.key));
    connection.subscribe('deposited');
    await connection.call('deposit', 5);
    await connection.event('deposited');
    await waiting.call('later', 600_000, 1);
    await Promise.all([asleep.sleep(), waiting.sleep()]);
    const look = async () => ({
      generation: await generation(awake),
      state: await awake.state(),
      codes: await Promise.all([asleep, waiting].map((each) => each.code())),
      components: await host.manage('GET', '/components'),
    });
    const before = await look();
    const load = new Deposits(t, await accounts(host, 10));
    await load.more(20);
    for (const rehearse of ['all', '1']) {
      const { tried, fine, failed, unclear, isIncomplete, tookMs } = await dryRun('account_v3', rehearse);
      assert.deepEqual([fine, failed, unclear, isIncomplete], [tried, 0, 0, false]);
      assert.ok(tookMs >= 0);
      if (rehearse === '1') assert.equal(tried, 1);
    }
    await load.end();
    assert.deepEqual(await look(), before);
    for (const each of [asleep, waiting]) assert.ok(isAsleep(await host.actor(await each.id())), 'it was woken');
    assert.deepEqual([connection.isOpen, connection.frames.items], [true, []]);
    await connection.close();
  });

  test('is left out where nothing is migrated, and where one says so', async () => {
    assert.equal(await dryRun('account_v2', 'auto'), null);
    assert.equal(await dryRun('account_v3', 'no'), null);
  });

  test('finds what does not start, whether it migrates or not', async () => {
    await accounts(host, 2);
    const { actors } = await dryRun('account_v2', 'all');
    assert.ok(actors >= 2);
    const error = await failsWith('component.rehearsal_failed', host.deploy('account_broken', { rehearse: 'all' }));
    const { tried, failed, failures } = error.metadata.rehearsal;
    assert.deepEqual([tried, failed], [actors, actors]);
    for (const { reason } of failures) assert.match(reason, /this revision does not start/);
    assert.equal((await host.rollout(NAME)).rolledBack, null);
  });

  test('takes a sample of the same size wherever the actors are, and says how many there are', async () => {
    await accounts(host, 40);
    const all = await dryRun('account_v3', 'all');
    const some = await dryRun('account_v3', '10');
    assert.deepEqual([some.tried, some.actors], [10, all.actors]);
  });

  test('of nonsense is refused', async () => {
    const body = await guestBytes('account_v3');
    const queries = ['rehearse=some', 'rehearse=0', 'rehearse=-1', 'force=perhaps', 'dryRun=x', 'grant=root'];
    for (const query of [...queries, 'percent=0', 'percent=101', 'percent=x']) {
      assertRefusal(await host.request('POST', `/components?${query}`, { body }), 400, 'api.bad_request');
    }
  });
});

test('a rehearsal is bounded in its time, and says that it was', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rehearsal-max', '1ms'] });
  await accounts(host, 60);
  const { rehearsal } = (await host.deploy('account_v3', { dryRun: true })).report;
  assert.equal(rehearsal.isIncomplete, true);
  assert.ok(rehearsal.tried < 60, `${rehearsal.tried} were tried`);
});

test('a rehearsal is bounded in the number of actors, unless all are asked for', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rehearsal-actors-max', '7'] });
  await accounts(host, 20);
  const tried = async (how) => (await host.deploy('account_v3', { dryRun: true, ...how })).report.rehearsal.tried;
  assert.deepEqual([await tried({}), await tried({ rehearse: 'all' })], [7, 20]);
});

test('a revision that calls other actors when it wakes is not tried on them: what could not be seen is said', async (t) => {
  const host = await startHost(t, { components: ['fixtures'], flags: ['--rollout-window', '200ms'] });
  const fussy = () => host.call('fussy', ['k'], 'creates');
  await failsWith('user.fussy', fussy());
  assert.equal(await fussy(), 2);
  const counted = () => host.call('trapper', ['fussy-wakes'], 'increment', 0);
  const before = await counted();
  const { rehearsal } = (await host.deploy(await sameAgain('fixtures', 1), { rehearse: 'all' })).report;
  assert.deepEqual([rehearsal.failed, rehearsal.unclear], [0, 1]);
  const [{ actorType, key, reason }] = rehearsal.unclearActors;
  assert.deepEqual([actorType, key], ['fussy', 'k']);
  assert.match(reason, /rehearsal/);
  await arrived(host, 'fixtures');
  assert.ok((await counted()) > before, 'it woke on the new revision and called as ever');
});
