// What the tests of actors that start, sleep and end have in common: who is awake, for how long, and what has been noted.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { actionPath, fresh, isAsleep, until, within } from './harness.mjs';
import { Socket } from './sockets.mjs';

/** Waits until the actor of this id sleeps. */
export async function asleep(host, id, namespace = 'default') {
  await until('the actor sleeps', async () => isAsleep(await host.actor(id, namespace)));
}

/** Looks for so long, and fails when the actor sleeps. */
export async function staysAwake(host, id, ms, namespace = 'default') {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    assert.ok(!isAsleep(await host.actor(id, namespace)), 'it sleeps');
    await pause(20);
  }
}

/** Looks until `isOver` says so, and fails when the actor sleeps before that. */
export async function awakeUntil(host, id, isOver, namespace = 'default') {
  const deadline = performance.now() + 20_000;
  let looks = 0;
  for (;;) {
    // It may end between a look and its answer, so the look comes first.
    const actor = await host.actor(id, namespace);
    if (await isOver()) return looks;
    assert.ok(!isAsleep(actor), `it sleeps though it is at work (look ${looks})`);
    assert.ok(performance.now() < deadline, 'it is at work for ever');
    looks += 1;
    await pause(10);
  }
}

/** Waits until the actor of this id is gone. */
export async function gone(host, id, namespace = 'default') {
  await until('the actor is gone', async () => (await host.actor(id, namespace)) === undefined);
}

/**
 * Makes `setUp(type)`: a handle of the stock client on a new actor, in a namespace that nobody has used before, and
 * what is needed beside it.
 */
export function scenes(host, encoding) {
  return (type, { key = ['k'], ...options } = {}) => {
    const namespace = fresh('conformance');
    const client = host.client({ encoding, namespace, disableMetadataLookup: true });
    const actor = client[type].getOrCreate(key, options);
    const id = () => actor.resolve();
    return {
      namespace,
      client,
      actor,
      id,
      byId: async () => client[type].getForId(await id()),
      asleep: async () => asleep(host, await id(), namespace),
      staysAwake: async (ms) => staysAwake(host, await id(), ms, namespace),
      putToSleep: async () => host.putToSleep(await id(), namespace),
      destroy: async () => host.manage('DELETE', `/actors/${await id()}?namespace=${namespace}`),
      gone: async (ended) => gone(host, ended ?? (await id()), namespace),
      open: async (path) => {
        const socket = new Socket(await actor.webSocket(path), `the WebSocket ${type}`);
        await within('it is opened', socket.opened);
        return socket;
      },
    };
  };
}

/** The way to a fixture actor by raw HTTP, and to its chronicle. */
export function subject(host, type, key = [fresh()]) {
  const call = (action, ...args) => host.call(type, key, action, ...args);
  const id = async () => (await host.actors({ name: type, key: key.join(',') }))[0]?.actor_id;
  const notes = () => host.call('chronicle', key, 'notes');
  return {
    type,
    key,
    call,
    id,
    notes,
    asleep: async () => asleep(host, await id()),
    noted: (what) => until(`it notes "${what}"`, async () => (await notes()).includes(what)),
    hasNoted: async (what) => (await notes()).includes(what),
    path: (action, options) => actionPath(type, key, action, options),
  };
}
