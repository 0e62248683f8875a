"""The player: a page that shows an avatar in any browser. Its JavaScript is in `src`, and built into `built`.

from simulacra.tools.player import write_player
"""

from simulacra.tools.player.write import write_player

__all__ = ["write_player"]
