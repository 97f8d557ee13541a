// A counter that many pages may show at once. The query names the host, the actor's type and its key.

import { createRivetKit } from '@rivetkit/react';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
const { useActor } = createRivetKit(query.get('endpoint'));

function Counter() {
  const { connection, connStatus, error, useEvent } = useActor({
    name: query.get('type'),
    key: query.getAll('key'),
  });
  const [count, setCount] = useState(null);
  const isConnected = connStatus === 'connected';

  useEvent('newCount', setCount);
  // Asked behind the subscription on the same connection: where a count is shown, events arrive.
  useEffect(() => {
    if (isConnected) connection.getCount().then(setCount);
  }, [connection, isConnected]);

  return (
    <>
      <p id="status">{connStatus}</p>
      <p id="error">{error?.message}</p>
      <output id="count">{count}</output>
      <button disabled={!isConnected} onClick={() => connection.increment(1)}>
        One more
      </button>
    </>
  );
}

createRoot(document.getElementById('root')).render(<Counter />);
