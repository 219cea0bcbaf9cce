#!/bin/sh
# The startup script of a machine of Paperspace's: POSIX sh, run as root while it boots.
#
# Rendered by orchestrator/providers/paperspace/script.py, which fills in the words between @ signs
# and drops comment lines. It may run at every boot. The login's key goes in before the host key:
# whoever waits for the one can use the other.
umask 077
user='@USER@'
home=$(getent passwd "$user" | cut -d: -f6)
keys=${home:-/home/$user}/.ssh/authorized_keys
mkdir -p "${keys%/*}"
touch "$keys"
grep -qxF '@PUBLIC_KEY@' "$keys" || echo '@PUBLIC_KEY@' >>"$keys"
chown -R "$user" "${keys%/*}"
# Every port is open, and there is no firewall before it: SSH alone is let in.
if command -v ufw >/dev/null; then
  ufw allow 22/tcp
  ufw --force enable
fi
# A package source that is broken on one of the images, and fails every update.
rm -f /etc/apt/sources.list.d/paperspace.list
# The host key by which whoever rented the machine knows it.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
cat >/etc/ssh/ssh_host_ed25519_key <<'EOF'
@HOST_PRIVATE_KEY@
EOF
echo '@HOST_PUBLIC_KEY@' >/etc/ssh/ssh_host_ed25519_key.pub
chmod 644 /etc/ssh/ssh_host_ed25519_key.pub
systemctl restart ssh || systemctl restart sshd || service ssh restart
