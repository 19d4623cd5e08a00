/**
 * The demo shop embeds the widget as a customer's page would; only that the
 * organization and the team come from the address, so that one page shows all:
 * /demo/?org=1&team=1.
 */
const query = new URLSearchParams(location.search);
const script = document.createElement('script');
script.src = '/widget.js';
script.async = true;
script.dataset['org'] = query.get('org') ?? '1';
script.dataset['team'] = query.get('team') ?? '0';
document.body.append(script);
